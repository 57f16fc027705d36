"""Objectives of the stages (masked modelling, segmentation, Swin-UNETR's proxy tasks) and their losses."""
