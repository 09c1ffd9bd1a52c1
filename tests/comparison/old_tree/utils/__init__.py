raise ImportError("the real utils of old trees import half the world")
