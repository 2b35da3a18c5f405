-- What nodes found when they looked at registries' credentials, and which secrets members may name.

-- +goose Up

-- One row for each registry that has a credential; result is '' until a node looked. due_at is when the next look is due.
CREATE TABLE registry_checks (
    registry_id TEXT PRIMARY KEY REFERENCES registries (id) ON DELETE CASCADE,
    result      TEXT NOT NULL DEFAULT '',
    at          INTEGER NOT NULL DEFAULT 0,
    node        TEXT NOT NULL DEFAULT '',
    image       TEXT NOT NULL DEFAULT '',
    reason      TEXT NOT NULL DEFAULT '',
    hint        TEXT NOT NULL DEFAULT '',
    due_at      INTEGER NOT NULL
);
CREATE INDEX registry_checks_due ON registry_checks (due_at);
INSERT INTO registry_checks (registry_id, due_at)
    SELECT id, 0 FROM registries WHERE type <> 'hosted' AND (settings LIKE '%"secret":"%' OR settings LIKE '%"sealed":"%');

-- A prefix is a secret reference, or its beginning up to the end of a segment.
CREATE TABLE allowed_secrets (
    owner_id   TEXT NOT NULL REFERENCES owners (id) ON DELETE CASCADE,
    prefix     TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (owner_id, prefix)
);
