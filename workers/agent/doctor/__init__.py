"""What keeps this machine from being a good node: each check says what is wrong and how it is put right."""
