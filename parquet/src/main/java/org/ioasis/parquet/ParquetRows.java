// SPDX-License-Identifier: Apache-2.0
package org.ioasis.parquet;

import static java.nio.charset.StandardCharsets.US_ASCII;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.parquet.column.ColumnWriteStore;
import org.apache.parquet.column.ColumnWriter;
import org.apache.parquet.column.ParquetProperties;
import org.apache.parquet.format.ColumnChunk;
import org.apache.parquet.format.FileMetaData;
import org.apache.parquet.format.KeyValue;
import org.apache.parquet.format.RowGroup;
import org.apache.parquet.format.Util;
import org.apache.parquet.io.api.Binary;
import org.apache.parquet.schema.MessageType;
import org.ioasis.record.Row;
import org.ioasis.record.RowFiles;
import org.jspecify.annotations.Nullable;

/**
 * Writes a recording. Rows are kept in the library's encoders until a part of them is full; then it
 * goes into the file with a new end behind it, in one write over the old end: at any moment the
 * file is one that can be read, but for the time of that write. One thread.
 */
final class ParquetRows implements RowFiles.Writer {
    static final byte[] MAGIC = "PAR1".getBytes(US_ASCII);

    /** Behind the magic number, where readers do not look: by this the file is known as ours. */
    private static final byte[] NAME = "ioasis recording\n".getBytes(US_ASCII);

    /** Rows of a part: some megabytes in memory. */
    static final int PART_ROWS = 1 << 17;

    private static final int PAGE_BYTES = 1 << 18;
    private static final int PAGE_ROWS = 1 << 15;
    private static final int DICTIONARY_BYTES = 1 << 18;
    private static final String CREATOR = "ioasis";

    /** What an end says of one part, and more: the names of its columns and where they are. */
    private static final int PART_TAIL = 1 << 11;

    private final FileChannel file;
    private final MessageType schema = Columns.schema();
    private final ParquetProperties properties =
            ParquetProperties.builder()
                    .withWriterVersion(ParquetProperties.WriterVersion.PARQUET_2_0)
                    .withPageSize(PAGE_BYTES)
                    .withPageRowCountLimit(PAGE_ROWS)
                    .withDictionaryPageSize(DICTIONARY_BYTES)
                    // What grows steadily is small as differences.
                    .withDictionaryEncoding(Columns.SEQUENCE.column(), false)
                    .withDictionaryEncoding(Columns.TIME.column(), false)
                    .withValuesWriterFactory(new Encoders())
                    .withStatisticsEnabled(false)
                    .withSizeStatisticsEnabled(false)
                    .build();
    private final List<RowGroup> groups = new ArrayList<>();
    private final Map<String, Binary> words = new HashMap<>();

    private @Nullable Part part;
    private int pending;
    private long rows;

    // Where the next part begins, and what is there now.
    private long end;
    private byte[] tail = new byte[0];

    /** The encoders of one part. */
    private final class Part {
        private final Map<Columns, ColumnPages> pages = new EnumMap<>(Columns.class);
        private final ColumnWriteStore store;
        private final ColumnWriter[] writers;

        Part() {
            for (Columns one : Columns.values()) {
                pages.put(one, new ColumnPages(one));
            }
            store =
                    properties.newColumnWriteStore(
                            schema, column -> pages(Columns.named(column.getPath()[0])));
            writers =
                    schema.getColumns().stream()
                            .map(store::getColumnWriter)
                            .toArray(ColumnWriter[]::new);
        }

        private ColumnPages pages(Columns column) {
            ColumnPages found = pages.get(column);
            if (found == null) {
                throw new IllegalStateException("no pages of " + column);
            }
            return found;
        }

        void add(Row row) {
            put(Columns.SEQUENCE, row.sequence());
            put(Columns.TIME, row.time());
            put(Columns.EVENT, row.event().name());
            put(Columns.IOMMU, row.iommu());
            number(Columns.ENDPOINT, row.endpoint());
            number(Columns.PASID, row.pasid());
            number(Columns.DOMAIN, row.domain());
            if (row.event().hasRange()) {
                put(Columns.FIRST, row.first());
                put(Columns.LAST, row.last());
            } else {
                none(Columns.FIRST);
                none(Columns.LAST);
            }
            if (row.event().hasOutput()) {
                put(Columns.OUTPUT, row.output());
            } else {
                none(Columns.OUTPUT);
            }
            if (row.event().hasFlags()) {
                writer(Columns.FLAGS).write(row.flags(), 0, Columns.FLAGS.definition());
            } else {
                none(Columns.FLAGS);
            }
            put(Columns.STATUS, row.status());
            put(Columns.REFUSAL, row.refusal());
            if (row.lost() != 0) {
                put(Columns.LOST, row.lost());
            } else {
                none(Columns.LOST);
            }
            store.endRecord();
        }

        @SuppressWarnings("EnumOrdinal") // columns are in the file in this order
        private ColumnWriter writer(Columns column) {
            return writers[column.ordinal()];
        }

        private void put(Columns column, long value) {
            writer(column).write(value, 0, column.definition());
        }

        private void put(Columns column, @Nullable String word) {
            if (word == null) {
                none(column);
            } else {
                Binary bytes = words.computeIfAbsent(word, Binary::fromString);
                writer(column).write(bytes, 0, column.definition());
            }
        }

        private void number(Columns column, long value) {
            if (value == Row.NONE) {
                none(column);
            } else {
                writer(column).write((int) value, 0, column.definition());
            }
        }

        private void none(Columns column) {
            writer(column).writeNull(0, 0);
        }

        RowGroup finish(ByteArrayOutputStream target, long at) throws IOException {
            store.flush();
            store.close();
            List<ColumnChunk> chunks = new ArrayList<>();
            long uncompressed = 0;
            for (ColumnPages column : pages.values()) {
                chunks.add(column.finish(target, at + target.size()));
                uncompressed += column.uncompressed();
            }
            RowGroup group = new RowGroup(chunks, uncompressed, pending);
            group.setFile_offset(at);
            group.setTotal_compressed_size(target.size());
            return group;
        }
    }

    ParquetRows(FileChannel file) throws IOException {
        this.file = file;
        ByteArrayOutputStream head = new ByteArrayOutputStream();
        head.write(MAGIC);
        head.write(NAME);
        write(head.toByteArray(), 0);
        end = head.size();
    }

    @Override
    public void add(Row row) {
        Part into = part;
        if (into == null) {
            into = new Part();
            part = into;
        }
        into.add(row);
        pending++;
    }

    @Override
    public int pending() {
        return pending;
    }

    @Override
    public int pendingLimit() {
        return PART_ROWS;
    }

    @Override
    public int parts() {
        return groups.size();
    }

    @Override
    public boolean isFull() {
        // The end of the next part is still followed by one.
        return tail.length + 2 * PART_TAIL > ParquetReading.TAIL_MAX;
    }

    @Override
    public long bytes() {
        return end + tail.length;
    }

    @Override
    public boolean flush(Map<String, String> about, long limit) throws IOException {
        ByteArrayOutputStream more = new ByteArrayOutputStream();
        Part full = part;
        RowGroup group = full == null ? null : full.finish(more, end);
        part = null;
        int now = pending;
        pending = 0;
        int length = more.size();
        if (group != null) {
            groups.add(group);
        }
        byte[] newTail;
        boolean isWritten = false;
        try {
            newTail = tail(about, rows + now);
            more.write(newTail);
            if (end + more.size() > limit) {
                return false;
            }
            write(more.toByteArray(), end);
            isWritten = true;
        } finally {
            if (!isWritten && group != null) {
                groups.removeLast();
            }
        }
        file.truncate(end + more.size());
        rows += now;
        end += length;
        tail = newTail;
        return true;
    }

    /** What ends a file: it says where everything is. */
    private byte[] tail(Map<String, String> about, long rowCount) throws IOException {
        FileMetaData all = new FileMetaData(2, Columns.elements(), rowCount, groups);
        about.forEach((key, value) -> {
            KeyValue pair = new KeyValue(key);
            pair.setValue(value);
            all.addToKey_value_metadata(pair);
        });
        all.setCreated_by(CREATOR);
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        Util.writeFileMetaData(all, bytes);
        if (bytes.size() > ParquetReading.TAIL_MAX) {
            throw new IOException(
                    "what a recording says of itself has %d bytes, more than a reader takes"
                            .formatted(bytes.size()));
        }
        ByteBuffer length = ByteBuffer.allocate(Integer.BYTES).order(ByteOrder.LITTLE_ENDIAN);
        bytes.write(length.putInt(bytes.size()).array());
        bytes.write(MAGIC);
        return bytes.toByteArray();
    }

    private void write(byte[] bytes, long at) throws IOException {
        ByteBuffer buffer = ByteBuffer.wrap(bytes);
        try {
            while (buffer.hasRemaining()) {
                int _ = file.write(buffer, at + buffer.position());
            }
        } catch (IOException e) {
            takeBack();
            throw e;
        }
    }

    /** A full disk has room for what was there already. */
    private void takeBack() {
        try {
            ByteBuffer old = ByteBuffer.wrap(tail);
            while (old.hasRemaining()) {
                int _ = file.write(old, end + old.position());
            }
            file.truncate(end + tail.length);
        } catch (IOException e) {
            // What went wrong first is what is told.
        }
    }

    @Override
    public void close() {
        part = null;
    }
}
