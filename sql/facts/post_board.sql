-- One row, whether there is such a post or not: whoever waits for it learns nothing by the shape of the answer.
SELECT (SELECT board_id FROM posts WHERE id = $1) AS "board_id?"
