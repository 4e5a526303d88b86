"""What a platform person does to a home: look whether it is well. Later: back up, restore, upgrade, collect garbage."""
