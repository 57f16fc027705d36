"""What held-out predictions teach: post-processing, the DSC to expect, how well flags find failures."""
