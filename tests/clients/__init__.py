"""Clients in other people's libraries, for a while and through bad moments: what they end with is what there is."""
