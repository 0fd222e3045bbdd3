"""What the page is made of, apart from its layout: its texts, its visitors' folders, and the processes that do the work."""
