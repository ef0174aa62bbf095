-- The columns of the tables that a session has, in the order of the tables.
--
-- Returns table_name, column_name, data_type, is_nullable (YES or NO).
SELECT table_name, column_name, data_type, is_nullable
FROM information_schema.columns
WHERE table_schema = 'public'
ORDER BY table_name, ordinal_position
