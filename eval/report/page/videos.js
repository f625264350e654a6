// Videos on which two encoders disagree.
