-- How far an image is on its way, for progress bars.

-- +goose Up
ALTER TABLE executions ADD COLUMN pulled_bytes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE executions ADD COLUMN image_bytes INTEGER NOT NULL DEFAULT 0;
