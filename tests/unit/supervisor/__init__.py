"""Tests of homeport.supervisor."""
