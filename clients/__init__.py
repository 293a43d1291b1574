"""Relying parties that know the provider only by HTTP: a kit, a sample ENT, a headless one, and recipes for others."""
