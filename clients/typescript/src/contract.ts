// Generated from src/contract.rs by `curia-realtime types`. Do not edit.

export type BoardId = number;

export type PostId = number;

export type CommentId = number;

export type UserId = string;

export type CommunityId = string;

export type Meta = { 
/**
 * Opaque: "everything up to here has been delivered to you". Give the last one seen as `since`.
 */
cursor: string, 
/**
 * When the row was written, in UTC.
 */
at: string, };

export type Person = { user_id: UserId, name: string | null, profile_picture_url: string | null, };

export type Post = { id: PostId, author_user_id: UserId | null, title: string | null, content: string | null, 
/**
 * Present and true when `content` was cut to the server's limit.
 */
content_truncated?: boolean, tags: Array<string> | null, upvote_count: number, comment_count: number, board_id: BoardId | null, lock_id: number | null, created_at: string | null, updated_at: string | null, };

export type Comment = { id: CommentId, post_id: PostId, author_user_id: UserId | null, parent_comment_id: CommentId | null, content: string | null, 
/**
 * Present and true when `content` was cut to the server's limit.
 */
content_truncated?: boolean, created_at: string | null, updated_at: string | null, };

export type Board = { id: BoardId, community_id: CommunityId | null, name: string | null, description: string | null, 
/**
 * To admins of the community that owns the board only, in every event.
 */
settings?: unknown, created_at: string | null, updated_at: string | null, };

export type Features = { 
/**
 * Off: joins answer `feature_disabled` and no event comes.
 */
enabled: boolean, votes: boolean, comments: boolean, posts: boolean, presence: boolean, typing: boolean, notifications: boolean, };

export type NewPost = { post: Post, author: Person | null, 
/**
 * Present and true when the post came from another board.
 */
moved?: boolean, };

export type PostUpdated = { post: Post, author: Person | null, changed: Array<PostColumn>, };

export type PostColumn = "title" | "content" | "tags" | "lock_id";

export type PostDeleted = { postId: PostId, boardId: BoardId, 
/**
 * Present and true when the post lives on in another board.
 */
moved?: boolean, };

export type PostCount = { postId: PostId, boardId: BoardId, newCount: number, };

export type CommentEvent = { comment: Comment, author: Person | null, postId: PostId, boardId: BoardId, };

export type CommentDeleted = { commentId: CommentId, postId: PostId, boardId: BoardId, };

export type BoardCreated = { board: Board, };

export type BoardChanged = { boardId: BoardId, board: Board, };

export type BoardGone = { boardId: BoardId, };

export type AccessRevoked = { boardId: BoardId, reason: RevokeReason, };

export type RevokeReason = "import" | "community_roles" | "board_roles";

export type AccessGranted = { boardId: BoardId, };

export type CommunityChanged = { communityId: CommunityId, features: Features, };

export type Notification = { kind: NotificationKind, postId: PostId, boardId: BoardId, commentId: CommentId, actor: Person, 
/**
 * The beginning of the comment, as plain text.
 */
excerpt: string, };

export type NotificationKind = "reply" | "mention" | "comment";

export type UserOnline = { userId: UserId, userName: string | null, avatarUrl: string | null, 
/**
 * Where he is, if that is known and open to whoever is told.
 */
boardId?: BoardId, };

export type UserOffline = { userId: UserId, };

export type BoardPresence = { userId: UserId, userName: string | null, boardId: BoardId, };

export type TypingEvent = { userId: UserId, userName: string | null, postId: PostId, boardId: BoardId, };

export type SessionReady = { userId: UserId, communityId: CommunityId, cursor: string, expiresAt: string, features: Features, };

export type SessionExpiring = { expiresAt: string, };

export type Empty = Record<string, never>;

export type Draining = { reconnectInMs: number, };

export type ErrorEvent = { code: ErrorCode, message: string, 
/**
 * The command it answers.
 */
event: string, };

export type ErrorCode = "auth_missing" | "auth_invalid" | "auth_expired" | "forbidden" | "not_found" | "invalid_payload" | "rate_limited" | "feature_disabled" | "too_many_rooms" | "unavailable";

export type Failure = { code: ErrorCode, 
/**
 * For a person to read.
 */
message: string, retryAfterMs?: number, };

export type BoardJoined = { boardId: BoardId, cursor: string, recovered: boolean, 
/**
 * Who looks at the board, whoever joins among them; at most 50, by user id.
 */
users: Array<Viewer>, 
/**
 * How many do.
 */
userCount: number, };

export type Viewer = { userId: UserId, userName: string | null, avatarUrl: string | null, };

export type BoardLeft = { boardId: BoardId, };

export type PostJoined = { postId: PostId, boardId: BoardId, cursor: string, recovered: boolean, };

export type PostLeft = { postId: PostId, };

export type FeedJoined = { boardIds: Array<BoardId>, cursor: string, recovered: boolean, };

export type PresenceListed = { 
/**
 * At most 500, by user id.
 */
users: Array<Present>, };

export type Present = { userId: UserId, userName: string | null, avatarUrl: string | null, 
/**
 * Within the grace after his last connection has broken 1.
 */
devices: number, 
/**
 * The board that was asked for; else the latest that he looks at and whoever asks sits in, too.
 */
boardId?: BoardId, };

export type SessionRefreshed = { expiresAt: string, };

/** What the server sends. A durable event carries `meta` as its second argument. */
export interface ServerToClientEvents {
  "board:newPost": (payload: NewPost, meta: Meta) => void;
  "board:postUpdated": (payload: PostUpdated, meta: Meta) => void;
  "board:postDeleted": (payload: PostDeleted, meta: Meta) => void;
  "post:voteAdded": (payload: PostCount, meta: Meta) => void;
  "post:voteRemoved": (payload: PostCount, meta: Meta) => void;
  "post:voteChanged": (payload: PostCount, meta: Meta) => void;
  "post:newComment": (payload: CommentEvent, meta: Meta) => void;
  "post:commentUpdated": (payload: CommentEvent, meta: Meta) => void;
  "post:commentDeleted": (payload: CommentDeleted, meta: Meta) => void;
  "post:commentCountChanged": (payload: PostCount, meta: Meta) => void;
  "board:created": (payload: BoardCreated, meta: Meta) => void;
  "board:settingsChanged": (payload: BoardChanged, meta: Meta) => void;
  "board:deleted": (payload: BoardGone, meta: Meta) => void;
  "board:accessRevoked": (payload: AccessRevoked, meta: Meta) => void;
  "board:accessGranted": (payload: AccessGranted, meta: Meta) => void;
  "community:settingsChanged": (payload: CommunityChanged, meta: Meta) => void;
  "notification:new": (payload: Notification, meta: Meta) => void;
  "user:online": (payload: UserOnline) => void;
  "user:offline": (payload: UserOffline) => void;
  "user:joinedBoard": (payload: BoardPresence) => void;
  "user:leftBoard": (payload: BoardPresence) => void;
  "typing:start": (payload: TypingEvent) => void;
  "typing:stop": (payload: TypingEvent) => void;
  "session:ready": (payload: SessionReady) => void;
  "session:expiring": (payload: SessionExpiring) => void;
  "session:expired": (payload: Empty) => void;
  "server:draining": (payload: Draining) => void;
  "error": (payload: ErrorEvent) => void;
}

/** What every callback is given. */
export type Answer<T> = ({ ok: true } & T) | { ok: false; error: Failure };

export type Id = number | string;

export type BoardJoin = Id | { boardId: Id, 
/**
 * The last `cursor` that was seen.
 */
since?: string, 
/**
 * Whether typing is wanted too.
 */
typing?: boolean, };

export type PostJoin = Id | { postId: Id, 
/**
 * The last `cursor` that was seen.
 */
since?: string, };

export type FeedJoin = Nothing | { 
/**
 * The last `cursor` that was seen.
 */
since?: string, };

export type TypingPost = { 
/**
 * It was joined, or the board in which it stands was.
 */
postId: Id, };

export type PresenceList = Nothing | { boardId?: Id, };

export type Nothing = null;

export type SessionRefresh = { 
/**
 * Of the same user and community.
 */
token: string, };

/** What a client may send. */
export interface ClientToServerEvents {
  "board:join": (argument: BoardJoin, answer?: (answer: Answer<BoardJoined>) => void) => void;
  "board:leave": (argument: Id, answer?: (answer: Answer<BoardLeft>) => void) => void;
  "post:join": (argument: PostJoin, answer?: (answer: Answer<PostJoined>) => void) => void;
  "post:leave": (argument: Id, answer?: (answer: Answer<PostLeft>) => void) => void;
  "feed:join": (argument: FeedJoin, answer?: (answer: Answer<FeedJoined>) => void) => void;
  "feed:leave": (argument: Nothing, answer?: (answer: Answer<Empty>) => void) => void;
  "typing:start": (argument: TypingPost, answer?: (answer: Answer<Empty>) => void) => void;
  "typing:stop": (argument: TypingPost, answer?: (answer: Answer<Empty>) => void) => void;
  "presence:list": (argument: PresenceList, answer?: (answer: Answer<PresenceListed>) => void) => void;
  "session:refresh": (argument: SessionRefresh, answer?: (answer: Answer<SessionRefreshed>) => void) => void;
}
