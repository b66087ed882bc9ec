SELECT to_regclass('boards') IS NOT NULL AS "installed!";
