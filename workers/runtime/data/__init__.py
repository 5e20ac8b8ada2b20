"""From files to samples: documents, tokenizer, packed token streams, and the order they are drawn in."""
