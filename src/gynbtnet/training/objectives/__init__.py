"""What each stage minimises: masked modelling, segmentation, Swin-UNETR's proxy tasks, and the losses."""
