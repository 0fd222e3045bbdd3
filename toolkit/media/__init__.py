"""Video, images, archives, calibrations and annotations in and out; what a file is, told before anything is computed."""
