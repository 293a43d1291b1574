"""Relying parties that use the provider by HTTP alone: a kit, a sample ENT, a headless client, and recipes."""
