-- Each released bundle's own signature (a blob), made where the release keys are: for people who verify a bundle
-- without us. What was signed before there were any has none.
ALTER TABLE release_builds ADD COLUMN signature bytea CHECK (is_digest(signature));
