"""Which endings of file names stand for what."""

VIDEOS = frozenset({".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts", ".3gp", ".ogv", ".gif"})
IMAGES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".pgm", ".ppm"})
CALIBRATIONS = frozenset({".yaml", ".yml", ".xml", ".txt", ".toml", ".json", ".csv"})
ANNOTATIONS = frozenset({".npz"})
