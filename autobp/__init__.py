"""autobp: write scalars, see every derivative, run at matrix speed."""
