-- Lists are cut by id, newest first: ids grow with time, and the primary keys hold them in order already.
DROP INDEX builds_newest;
DROP INDEX releases_newest;
DROP INDEX rollouts_newest;
DROP INDEX model_versions_newest;
CREATE INDEX model_versions_newest ON model_versions (tenant_id, model, model_version_id DESC);
CREATE INDEX builds_of_version ON builds (tenant_id, model_version_id, build_id DESC);
