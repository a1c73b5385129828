-- A database as Rostra wrote it before it had migrations: two accounts, a token of each kind.
BEGIN TRANSACTION;
CREATE TABLE account (
	id VARCHAR(64) NOT NULL, 
	api_secret TEXT NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "account" VALUES('fBQvc7','aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa');
INSERT INTO "account" VALUES('HiRWFM','bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb');
CREATE TABLE schema_version (
	version INTEGER NOT NULL, 
	PRIMARY KEY (version)
);
INSERT INTO "schema_version" VALUES(1);
CREATE TABLE token (
	digest VARCHAR(64) NOT NULL, 
	action VARCHAR(16) NOT NULL, 
	account VARCHAR(64) NOT NULL, 
	value TEXT NOT NULL, 
	label TEXT NOT NULL, 
	streams TEXT NOT NULL, 
	multisource BOOLEAN NOT NULL, 
	subscribe_requires_auth BOOLEAN NOT NULL, 
	is_active BOOLEAN NOT NULL, 
	expires_at BIGINT, 
	PRIMARY KEY (digest), 
	FOREIGN KEY(account) REFERENCES account (id)
);
INSERT INTO "token" VALUES('153ac90a80490199ae3d9587c40d8d9c069ae1c569af629d68a165af5a72d3af','publish','fBQvc7','pppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppp','dev','["*"]',1,0,1,NULL);
INSERT INTO "token" VALUES('9791065143e72360c9cff795b7d2a8086e8f34715478dd5f5b7791370b6e1e80','subscribe','fBQvc7','ssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssss','dev','["demo", "show-*"]',1,0,1,2000000000);
CREATE INDEX ix_token_action ON token (action);
CREATE INDEX ix_token_account ON token (account);
COMMIT;
