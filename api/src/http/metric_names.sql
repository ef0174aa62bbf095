-- The metrics that were ever reported.
--
-- Returns metric.
SELECT DISTINCT metric
FROM reports
