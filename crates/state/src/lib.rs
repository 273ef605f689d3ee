//! What is replicated: the znode tree, sessions, ACLs and quotas; commands in, changes and replies out.
