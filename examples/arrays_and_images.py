"""A scan from a NumPy array, and to SimpleITK and NiBabel and back: python examples/arrays_and_images.py

No file is needed. The scan is synthetic: a ball of 60 HU in air.
"""

import numpy as np

from gynbtnet import Geometry, Segmentation, Volume, from_nibabel, from_sitk, to_nibabel, to_sitk


def main() -> None:
    z, y, x = np.indices((20, 48, 64))
    ball = ((z - 10) * 3.0) ** 2 + (y - 24) ** 2 + (x - 32) ** 2 <= 15**2
    array = np.where(ball, 60, -1000).astype(np.int16)  # HU, axes (z, y, x)
    geometry = Geometry(array.shape, spacing=(3.0, 1.0, 1.0), origin=(-32.0, -24.0, 0.0))  # mm; (z, y, x), (x, y, z)
    scan = Volume(array, geometry)

    contours = Segmentation(Volume(ball.astype(np.uint8), geometry), ("bladder",))  # label 1 is the first structure
    print(f"bladder: {contours.volume_cm3('bladder'):.1f} cm³")

    image = to_sitk(scan)  # SimpleITK, for its filters and registration
    print(f"SimpleITK: size {image.GetSize()}, spacing {image.GetSpacing()}, origin {image.GetOrigin()}")
    assert np.array_equal(from_sitk(image).array, array)

    nifti = to_nibabel(contours)  # NiBabel, whose world axes point to the right and to anterior
    print(f"NiBabel: shape {nifti.shape}, affine {nifti.affine.diagonal()}")
    again = Segmentation(from_nibabel(nifti), contours.structures)
    assert again.labels.geometry.is_same(geometry)
    assert np.array_equal(again.mask("bladder"), ball)


if __name__ == "__main__":
    main()
