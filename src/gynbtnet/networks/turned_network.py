"""Earlier class path of :class:`~gynbtnet.networks.nnunet_network.ReorientedGynBTNet`.

Exported nnU-Net folders name it in their ``plans.json``.
"""

from gynbtnet.networks.nnunet_network import ReorientedGynBTNet

TurnedGynBTNet = ReorientedGynBTNet
