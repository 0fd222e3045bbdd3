"""Standing trials: files made to do harm, and many visitors at once. Short ones are in the tests, long ones in `benchmark --soak`."""
