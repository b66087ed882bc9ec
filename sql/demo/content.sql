-- What there is to read when the demo opens. People and communities have been signed in before.

UPDATE communities
SET settings = '{"permissions": {"allowedRoles": ["fellow", "council"]}}'
WHERE id = 'perseid';

INSERT INTO boards (id, community_id, name, description, settings)
VALUES (1, 'lantern', 'Workshop floor', 'Who is in, what is broken, what is free tonight.', '{}'),
       (2, 'lantern', 'Show and tell', 'Finished, half finished, or on fire: show us.', '{}'),
       (3, 'lantern', 'Tool library', 'Borrow it, bring it back, say so here.', '{}'),
       (4, 'lantern', 'Keyholders', 'Alarm, rota, and who locked up last.',
        '{"permissions": {"allowedRoles": ["keyholder"]}}'),
       (5, 'lantern', 'Accounts', 'Dues, the rent, and the price of plywood.',
        '{"permissions": {"allowedRoles": ["treasurer"]}}'),
       (6, 'fernhollow', 'Plots and paths', 'What grows where, and which path is under water.', '{}'),
       (7, 'fernhollow', 'Seed swap', 'Offer what you saved, ask for what you lost.', '{}'),
       (8, 'fernhollow', 'Wardens', 'Waiting list, water bill, the matter of the goat.',
        '{"permissions": {"allowedRoles": ["warden"]}}'),
       (9, 'perseid', 'Observing log', 'What you saw, from where, through what.', '{}'),
       (10, 'perseid', 'Mirrors and mounts', 'Grinding, figuring, and bearings that stick in the cold.', '{}'),
       (11, 'perseid', 'Council', 'Dome bookings, the lease, next year.',
        '{"permissions": {"allowedRoles": ["council"]}}');

INSERT INTO imported_boards
    (source_board_id, source_community_id, importing_community_id, imported_by_user_id, is_active)
VALUES (7, 'fernhollow', 'lantern', 'ada', TRUE),
       (10, 'perseid', 'lantern', 'ada', TRUE),
       (3, 'lantern', 'fernhollow', 'farah', TRUE),
       (6, 'fernhollow', 'perseid', 'juno', FALSE);

INSERT INTO posts (id, board_id, author_user_id, title, content, tags, created_at, updated_at)
SELECT id, board_id, author, title, content, string_to_array(tags, ' '), NOW() - age, NOW() - age
FROM (VALUES
    (1, 1, 'ada', 'How this floor works',
     'Sweep the bench you used, switch the extractor off last, and write here when something breaks. Nobody minds a broken blade. Everybody minds finding it at nine in the evening.',
     'read-first', INTERVAL '64 days'),
    (2, 1, 'chidi', 'Bandsaw drifts to the left again',
     'Fresh 12 mm blade, tension by the book, and it still wanders about 4 mm over a 60 cm rip. I shimmed the fence for tonight. Has anybody looked at the lower guide since the move?',
     'bandsaw repair', INTERVAL '2 days 3 hours'),
    (3, 1, 'noor', 'Laser is free on Thursday evening',
     'My slot from seven to nine is up for grabs, the plywood for the kiosk is late. First answer takes it.',
     'laser', INTERVAL '9 hours'),
    (4, 1, 'bruno', 'The compressor cycles every four minutes',
     E'With every tool disconnected. Soapy water shows bubbles at the second drop, the one behind the lathe.\n\nI have a spare coupling at home and can swap it on Saturday if somebody holds the ladder.',
     'air repair', INTERVAL '5 hours'),
    (5, 1, 'eero', 'New here: may I just turn up?',
     'I did the induction in spring and then life happened. Is there an evening when it is quiet enough to ask stupid questions about the router?',
     NULL, INTERVAL '74 minutes'),
    (6, 2, 'dalia', 'A folding stool from one plank',
     E'One board of ash, 1.9 m, two hours of cutting and two weeks of sanding. The hinge is a steel rod inside the leg, so that it folds flat and stays flat.\n\nDrawing on request. It has carried three people and a cello.',
     'ash furniture', INTERVAL '6 days'),
    (7, 2, 'tomasz', 'Split-flap clock, now with all the flaps',
     'Sixty-two flaps, two steppers, and one evening lost to a flap that was glued in upside down at the very start. It makes exactly the noise I wanted.',
     'electronics', INTERVAL '3 days'),
    (8, 2, 'chidi', 'First turned bowl that did not explode',
     'Plum, still wet. It moves a little every day, I check on it like on a plant.',
     'lathe plum', INTERVAL '20 hours'),
    (9, 3, 'ines', 'Borrowed: the long clamps, until Sunday',
     'All six of the 120 cm ones. If you have a glue-up before then, write and I come by with two.',
     'clamps', INTERVAL '31 hours'),
    (10, 3, 'bruno', 'Wanted: somebody who can sharpen a hand plane',
     'Not for me to watch a film about it. For somebody to stand beside me for half an hour. Coffee and cake are offered.',
     'sharpening', INTERVAL '4 days'),
    (11, 4, 'bruno', 'Alarm went at 02:10, it was the cat',
     'She came in through the coal hatch. Code unchanged. I screwed a board over the hatch and an apology to the neighbour.',
     'alarm', INTERVAL '28 hours'),
    (12, 4, 'ada', 'Rota until the end of the month',
     E'Mondays: @{"id":"bruno","label":"Bruno Teixeira"}. Wednesdays: me. Fridays are open, please take one each.',
     'rota', INTERVAL '3 days'),
    (13, 5, 'dalia', 'Rent rises by four per cent',
     'The letter came. Nineteen more members would carry it, or two more evening courses. Figures to follow on Friday.',
     'rent', INTERVAL '2 days'),
    (14, 6, 'hana', 'Blight on the lower terrace',
     'Rows three to five, leaves only so far. I took out the worst plants and burned them. Please look at yours before the rain on Thursday.',
     'tomatoes blight', INTERVAL '17 hours'),
    (15, 6, 'imani', 'The north path is under water again',
     'Ankle deep at the oak. The drain is fine, the ditch behind plot 22 is not. Two people and two spades would do.',
     'paths', INTERVAL '3 hours'),
    (16, 6, 'goran', 'Who planted the enormous pumpkin?',
     'Nobody is cross. It has crossed the path, both of my rows, and this morning it reached the shed.',
     'pumpkin', INTERVAL '2 days'),
    (17, 7, 'hana', 'Offering: a jar of Painted Lady runner beans',
     'Saved from the tall row by the gate, dried on newspaper, no weevils. Enough for ten gardens. I send them in old tea tins.',
     'beans offer', INTERVAL '26 hours'),
    (18, 7, 'petra', 'Looking for a kale that survives pigeons',
     'I have tried nets, mirrors and a plastic owl. The pigeons sit on the owl.',
     'kale wanted', INTERVAL '4 days'),
    (19, 8, 'farah', 'The goat',
     'The owner has offered to pay for the brassicas. I suggest we accept and do not ask about the goat again.',
     NULL, INTERVAL '5 days'),
    (20, 9, 'lena', 'Veil Nebula, naked-eye limit 6.1',
     E'20 cm f/6 with an OIII filter at 48x, from the quarry. The eastern arc all the way round, and for the first time the wisp beside 52 Cygni without looking away.\n\nSeeing poor, transparency very good, dew heater at half.',
     'nebula cygnus', INTERVAL '8 hours'),
    (21, 9, 'kofi', 'Perseids: 61 in two hours',
     'Between one and three, lying on the dome roof with a thermos. Three bolides with a train, one of them green.',
     'meteors', INTERVAL '3 days'),
    (22, 10, 'kofi', 'Turned-down edge on a 30 cm mirror',
     'About 3 mm wide in the Ronchi picture. Do I go back to a shorter stroke, or mask it and live happily?',
     'mirror figuring', INTERVAL '40 hours'),
    (23, 10, 'juno', 'Teflon pads that do not stick in frost',
     'Old ebony Star laminate, furniture wax, and a night at minus nine without a jump. The wax does more than the laminate.',
     'dobson', INTERVAL '6 days'),
    (24, 11, 'juno', 'Lease of the quarry',
     'The town offers ten more years if we open on four evenings each summer. I am for it, with red torches only.',
     'lease', INTERVAL '4 days')
) AS written (id, board_id, author, title, content, tags, age);

INSERT INTO comments (id, post_id, parent_comment_id, author_user_id, content, created_at, updated_at)
SELECT id, post_id, parent, author, content, NOW() - age, NOW() - age
FROM (VALUES
    (1, 2, NULL::integer, 'bruno', 'The lower guide was set by eye after the move. I would start there.', INTERVAL '50 hours'),
    (2, 2, 1, 'chidi', 'By eye explains a lot. Is the gauge still in the red drawer?', INTERVAL '49 hours'),
    (3, 2, 2, 'noor', 'Red drawer, at the back, in a sock. Do not ask.', INTERVAL '47 hours'),
    (4, 2, NULL, 'ada', 'Also check the tyre: the upper one has a flat spot where it stood all winter.', INTERVAL '30 hours'),
    (5, 3, NULL, 'tomasz', 'Taken, if nobody was faster! Two cake toppers and a house number.', INTERVAL '8 hours'),
    (6, 3, 5, 'noor', 'Yours. The honeycomb bed needs a brush first.', INTERVAL '7 hours'),
    (7, 4, NULL, 'ada', 'I hold the ladder. Saturday at ten?', INTERVAL '4 hours'),
    (8, 4, 7, 'bruno', 'Ten it is. I bring the tape, the good one.', INTERVAL '220 minutes'),
    (9, 5, NULL, 'chidi', 'Tuesdays. There are no stupid questions about a router, only short fingers.', INTERVAL '60 minutes'),
    (10, 6, NULL, 'ines', 'Drawing, please. And how did you drill for the rod without wandering?', INTERVAL '5 days'),
    (11, 6, 10, 'dalia', 'From both ends, with a guide block, and with a lot of hope.', INTERVAL '5 days'),
    (12, 7, NULL, 'eero', 'Can we hear it? The noise is the whole point.', INTERVAL '60 hours'),
    (13, 8, NULL, 'ada', 'Plum does that for a month. Oil it tomorrow, it will thank you.', INTERVAL '18 hours'),
    (14, 10, NULL, 'tomasz', 'I can. Monday, and I take the cake.', INTERVAL '3 days'),
    (15, 14, NULL, 'farah', 'Mine are clean so far. I leave the copper spray in the shed, second shelf.', INTERVAL '15 hours'),
    (16, 14, 15, 'imani', 'Thank you. Plot 9 has the first spots, I cut tonight.', INTERVAL '12 hours'),
    (17, 16, NULL, 'hana', 'It was a present. I thought it was a courgette.', INTERVAL '40 hours'),
    (18, 17, NULL, 'chidi', 'A tin of these for the yard behind the workshop, please!', INTERVAL '20 hours'),
    (19, 18, NULL, 'goran', 'The red Russian one. They eat it too, but later.', INTERVAL '3 days'),
    (20, 20, NULL, 'kofi', 'The wisp without averted vision from the quarry, I am packing the car.', INTERVAL '7 hours'),
    (21, 22, NULL, 'juno', 'Mask it, observe for a year, and you will never take it out of the tube again.', INTERVAL '30 hours'),
    (22, 22, NULL, 'bruno', 'What does a mask of 3 mm cost you in light? Two per cent?', INTERVAL '22 hours')
) AS written (id, post_id, parent, author, content, age);

UPDATE posts p
SET comment_count = (SELECT COUNT(*) FROM comments c WHERE c.post_id = p.id);

SELECT setval(pg_get_serial_sequence('boards', 'id'), (SELECT MAX(id) FROM boards)),
       setval(pg_get_serial_sequence('posts', 'id'), (SELECT MAX(id) FROM posts)),
       setval(pg_get_serial_sequence('comments', 'id'), (SELECT MAX(id) FROM comments));
