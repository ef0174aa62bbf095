-- Unique users, of all time.
--
-- A user is a visitor: somebody with a user id, or an anonymous id that no user was seen with. Somebody who is anonymous
-- first and signs in later is one user. Events of nobody in particular and events of robots do not count.
--
-- Returns unique_users (count).
SELECT count(*) AS unique_users
FROM visitors
