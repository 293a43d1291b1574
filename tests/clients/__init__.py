"""Tests of the kit and the sample ENT, with a provider that can send false responses."""
