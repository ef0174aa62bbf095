-- Who may send. The key is a site's write key.
CREATE TABLE sites (
    site_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    write_key text NOT NULL UNIQUE
);

-- One row per event. The primary key is what finds duplicates, however late they come.
CREATE TABLE events (
    site_id integer NOT NULL,
    event_id uuid NOT NULL,
    name text NOT NULL,
    occurred_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    user_id text,
    anonymous_id text,
    session_id text,
    url text,
    hostname text,
    path text,
    query text,
    title text,
    referrer text,
    referrer_host text,
    utm_source text,
    utm_medium text,
    utm_campaign text,
    utm_term text,
    utm_content text,
    browser text,
    browser_version text,
    os text,
    os_version text,
    device text,
    language text,
    screen text,
    viewport text,
    object text,
    revenue numeric(18, 4),
    currency text,
    properties jsonb,
    PRIMARY KEY (site_id, event_id)
);

-- For reading by time. Rows arrive nearly in that order, so that the smallest kind of index will do; a B-tree
-- would make every insert dearer.
CREATE INDEX events_by_time ON events USING brin (occurred_at);
