"""The sandbox server: screens samples, runs each in a cell, and says what became of it."""
