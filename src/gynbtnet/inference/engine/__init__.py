"""From a scan and networks to labels on the scan's grid: sliding window, test-time augmentation, memory."""
