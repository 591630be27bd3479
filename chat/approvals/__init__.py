"""Approvals: what a run asks people before it goes on, kept in the database until someone has decided."""
