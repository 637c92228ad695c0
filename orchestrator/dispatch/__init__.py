"""Gets samples judged: to whichever sandbox servers there are, each sample answered exactly once."""
