-- The old shop's database. Nothing in it knows of mtrigger.

CREATE SCHEMA soe;
COMMENT ON SCHEMA soe IS 'made by the example big-orders';

CREATE TABLE soe.orders (
    order_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer   text           NOT NULL,
    status     text           NOT NULL DEFAULT 'open',
    amount     numeric(12, 2) NOT NULL,
    currency   text           NOT NULL DEFAULT 'USD',
    updated_at timestamptz    NOT NULL DEFAULT clock_timestamp()
);

-- The source asks for what is new by these two columns.
CREATE INDEX orders_by_change ON soe.orders (updated_at, order_id);

-- Every change has to set the time of the change, or it is not seen.
CREATE FUNCTION soe.changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := clock_timestamp();
    RETURN NEW;
END $$;

CREATE TRIGGER changed BEFORE UPDATE ON soe.orders FOR EACH ROW EXECUTE FUNCTION soe.changed();
