"""Parts that several families of denoisers share; torch and nothing of the zoo above `zoo.core`."""
