"""What the services say to each other: messages, codec, identities, Kerberos' own formats. Pure: no IO, no clock."""
