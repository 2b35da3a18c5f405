-- The first schema. Times are microseconds since 1970 in UTC, 0 for never; booleans are 0 and 1; lists are JSON.
-- Written for SQLite; what PostgreSQL says differently is only the type of seq and of hash and data.

-- +goose Up

-- Persons and organizations share one set of names, so they share a table.
CREATE TABLE owners (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE,
    kind       TEXT NOT NULL CHECK (kind IN ('person', 'organization')),
    admin      INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL
);

-- Names are not given out twice: images of a deleted owner may still lie in the hosted registry under its name.
CREATE TABLE retired_names (
    name       TEXT PRIMARY KEY,
    retired_at INTEGER NOT NULL
);

CREATE TABLE members (
    organization_id TEXT NOT NULL REFERENCES owners (id) ON DELETE CASCADE,
    person_id       TEXT NOT NULL REFERENCES owners (id) ON DELETE CASCADE,
    role            TEXT NOT NULL CHECK (role IN ('admin', 'member')),
    created_at      INTEGER NOT NULL,
    PRIMARY KEY (organization_id, person_id)
);
CREATE INDEX members_by_person ON members (person_id);

CREATE TABLE projects (
    id         TEXT PRIMARY KEY,
    owner_id   TEXT NOT NULL REFERENCES owners (id),
    name       TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (owner_id, name)
);

CREATE TABLE nodes (
    id              TEXT PRIMARY KEY,
    name            TEXT NOT NULL UNIQUE,
    organization_id TEXT REFERENCES owners (id),
    last_seen_at    INTEGER NOT NULL DEFAULT 0,
    created_at      INTEGER NOT NULL
);

CREATE TABLE tokens (
    id              TEXT PRIMARY KEY,
    hash            BLOB NOT NULL UNIQUE,
    kind            TEXT NOT NULL CHECK (kind IN ('pat', 'node', 'join', 'robot')),
    name            TEXT NOT NULL,
    person_id       TEXT REFERENCES owners (id),
    organization_id TEXT REFERENCES owners (id) ON DELETE CASCADE,
    node_id         TEXT REFERENCES nodes (id) ON DELETE CASCADE,
    read_only       INTEGER NOT NULL,
    expires_at      INTEGER NOT NULL,
    last_used_at    INTEGER NOT NULL DEFAULT 0,
    created_at      INTEGER NOT NULL
);
CREATE INDEX tokens_by_person ON tokens (person_id);
CREATE INDEX tokens_by_organization ON tokens (organization_id);
CREATE INDEX tokens_by_node ON tokens (node_id);

CREATE TABLE registries (
    id              TEXT PRIMARY KEY,
    organization_id TEXT NOT NULL REFERENCES owners (id) ON DELETE CASCADE,
    name            TEXT NOT NULL,
    type            TEXT NOT NULL,
    enabled         INTEGER NOT NULL,
    all_projects    INTEGER NOT NULL,
    settings        TEXT NOT NULL,
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    UNIQUE (organization_id, name)
);

CREATE TABLE registry_projects (
    registry_id TEXT NOT NULL REFERENCES registries (id) ON DELETE CASCADE,
    project_id  TEXT NOT NULL REFERENCES projects (id),
    PRIMARY KEY (registry_id, project_id)
);
CREATE INDEX registry_projects_by_project ON registry_projects (project_id);

-- owner_id repeats the project's, for the lists by owner.
CREATE TABLE executions (
    seq             INTEGER PRIMARY KEY AUTOINCREMENT,
    id              TEXT NOT NULL UNIQUE,
    project_id      TEXT NOT NULL REFERENCES projects (id),
    owner_id        TEXT NOT NULL REFERENCES owners (id),
    created_by      TEXT NOT NULL,
    spec            TEXT NOT NULL,
    node_id         TEXT REFERENCES nodes (id),
    stop_requested  INTEGER NOT NULL DEFAULT 0,
    state           TEXT NOT NULL,
    digest          TEXT NOT NULL DEFAULT '',
    platform_digest TEXT NOT NULL DEFAULT '',
    registry        TEXT NOT NULL DEFAULT '',
    anonymous       INTEGER NOT NULL DEFAULT 0,
    exit_code       INTEGER,
    reason          TEXT NOT NULL DEFAULT '',
    hint            TEXT NOT NULL DEFAULT '',
    pull_failed     INTEGER NOT NULL DEFAULT 0,
    started_at      INTEGER NOT NULL DEFAULT 0,
    finished_at     INTEGER NOT NULL DEFAULT 0,
    log_size        INTEGER NOT NULL DEFAULT 0,
    created_at      INTEGER NOT NULL
);
CREATE INDEX executions_by_owner ON executions (owner_id, seq);
CREATE INDEX executions_by_owner_state ON executions (owner_id, state, seq);
CREATE INDEX executions_by_project ON executions (project_id, seq);
CREATE INDEX executions_by_project_state ON executions (project_id, state, seq);
CREATE INDEX executions_waiting ON executions (seq) WHERE node_id IS NULL AND state = 'queued';
CREATE INDEX executions_on_node ON executions (node_id, seq) WHERE state IN ('queued', 'pulling', 'running');

-- position is the offset of the chunk's first byte in the log.
CREATE TABLE log_chunks (
    execution_seq INTEGER NOT NULL REFERENCES executions (seq) ON DELETE CASCADE,
    position      INTEGER NOT NULL,
    data          BLOB NOT NULL,
    PRIMARY KEY (execution_seq, position)
);

CREATE TABLE data_keys (
    id         TEXT PRIMARY KEY,
    public_key TEXT NOT NULL,
    node_id    TEXT NOT NULL REFERENCES nodes (id),
    created_at INTEGER NOT NULL
);

CREATE TABLE events (
    seq             INTEGER PRIMARY KEY AUTOINCREMENT,
    id              TEXT NOT NULL UNIQUE,
    node_id         TEXT NOT NULL REFERENCES nodes (id),
    at              INTEGER NOT NULL,
    organization_id TEXT REFERENCES owners (id) ON DELETE CASCADE,
    kind            TEXT NOT NULL,
    execution_id    TEXT NOT NULL,
    image           TEXT NOT NULL,
    registry        TEXT NOT NULL,
    detail          TEXT NOT NULL
);
CREATE INDEX events_by_organization ON events (organization_id, seq);
CREATE INDEX events_by_execution ON events (execution_id, seq);

-- Nothing refers to the audit log, and it refers to nothing: it outlives what it tells of. owner_id says whose part of
-- it an entry is: an organization's, a person's (what is done in personal projects), or, when empty, the installation's.
CREATE TABLE audit (
    seq       INTEGER PRIMARY KEY AUTOINCREMENT,
    id        TEXT NOT NULL UNIQUE,
    at        INTEGER NOT NULL,
    caller    TEXT NOT NULL,
    token_id  TEXT NOT NULL,
    action    TEXT NOT NULL,
    object    TEXT NOT NULL,
    owner_id  TEXT NOT NULL,
    outcome   TEXT NOT NULL,
    detail    TEXT NOT NULL
);
CREATE INDEX audit_by_owner ON audit (owner_id, seq);
CREATE INDEX audit_by_caller ON audit (caller, seq);

-- +goose StatementBegin
CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_is_not_deleted BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
-- +goose StatementEnd

-- One row: what the last change of the registries was numbered, and the URL that it was true for.
CREATE TABLE snapshot (
    version INTEGER NOT NULL,
    url     TEXT NOT NULL
);
INSERT INTO snapshot (version, url) VALUES (1, '');
