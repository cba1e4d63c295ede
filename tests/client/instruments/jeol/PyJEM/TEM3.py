class EOS3:
    def GetMagValue(self):
        return [1000000, "X", "x1000000"]
