"""Relying parties that know the provider only by HTTP: the sample ENT, and configuration for ready-made clients."""
