-- What the image of PostgreSQL runs once, in a new volume: the role of the service, which owns its database and nothing else.
-- The superuser `postgres` then has no password: it connects from inside the container alone, by the socket.
\getenv password POSTGRES_PASSWORD
CREATE ROLE idp LOGIN PASSWORD :'password';
CREATE DATABASE idp OWNER idp TEMPLATE template0 ENCODING 'UTF8';
ALTER ROLE postgres PASSWORD NULL;
