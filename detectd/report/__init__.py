"""The promise of a model beside what was observed: as JSON, and as text."""
