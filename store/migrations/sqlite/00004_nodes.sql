-- Nodes that prove who they are with keys of their own, and who holds which data-plane key.

-- +goose Up

-- A node's tokens are signed with the private half of public_key; it is empty for the node inside `pier up`. The name of an
-- organization's node has the organization's id before it, "org_…/gpu-1", because each organization has names of its own; a
-- revoked one has its own id behind it too, which frees its name.
ALTER TABLE nodes ADD COLUMN public_key TEXT NOT NULL DEFAULT '';
ALTER TABLE nodes ADD COLUMN version TEXT NOT NULL DEFAULT '';
ALTER TABLE nodes ADD COLUMN revoked_at INTEGER NOT NULL DEFAULT 0;
CREATE UNIQUE INDEX nodes_by_public_key ON nodes (public_key) WHERE public_key <> '';
CREATE INDEX nodes_by_organization ON nodes (organization_id);

-- A key that none of these holds any more opens nothing, and nothing more is sealed to it.
CREATE TABLE data_key_holders (
    key_id  TEXT NOT NULL REFERENCES data_keys (id) ON DELETE CASCADE,
    node_id TEXT NOT NULL REFERENCES nodes (id) ON DELETE CASCADE,
    PRIMARY KEY (key_id, node_id)
);
CREATE INDEX data_key_holders_by_node ON data_key_holders (node_id);
INSERT INTO data_key_holders (key_id, node_id) SELECT id, node_id FROM data_keys;
