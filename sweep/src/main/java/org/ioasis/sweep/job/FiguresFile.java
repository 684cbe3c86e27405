// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sweep.job;

import static org.apache.parquet.schema.PrimitiveType.PrimitiveTypeName.BINARY;
import static org.apache.parquet.schema.PrimitiveType.PrimitiveTypeName.DOUBLE;
import static org.apache.parquet.schema.PrimitiveType.PrimitiveTypeName.INT64;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import org.apache.parquet.conf.PlainParquetConfiguration;
import org.apache.parquet.example.data.Group;
import org.apache.parquet.example.data.simple.SimpleGroupFactory;
import org.apache.parquet.hadoop.ParquetWriter;
import org.apache.parquet.hadoop.example.ExampleParquetWriter;
import org.apache.parquet.hadoop.metadata.CompressionCodecName;
import org.apache.parquet.io.OutputFile;
import org.apache.parquet.io.PositionOutputStream;
import org.apache.parquet.schema.LogicalTypeAnnotation;
import org.apache.parquet.schema.MessageType;
import org.apache.parquet.schema.Types;
import org.ioasis.sweep.Answer;
import org.ioasis.sweep.SweepReport;

/**
 * The figures as Parquet: a row for each trace with each design. Behind the four letters that each
 * such file begins with it says whose it is: where anything else is, is said at the end of a file,
 * so nobody reads that place, and a report is known again there. One thread.
 */
final class FiguresFile {
    private static final int MAGIC_BYTES = 4;

    private FiguresFile() {}

    /** All of the file. */
    static byte[] of(List<Answer> answers) throws IOException {
        Memory memory = new Memory();
        MessageType schema = schema(answers.getFirst().fields());
        SimpleGroupFactory groups = new SimpleGroupFactory(schema);
        try (ParquetWriter<Group> writer =
                ExampleParquetWriter.builder(memory)
                        .withConf(new PlainParquetConfiguration())
                        .withType(schema)
                        .withCompressionCodec(CompressionCodecName.GZIP)
                        .build()) {
            for (Answer answer : answers) {
                Group group = groups.newGroup();
                answer.fields().forEach((name, value) -> add(group, name, value));
                writer.write(group);
            }
        }
        return memory.bytes.toByteArray();
    }

    /** A file that is written to memory: a report has thousands of rows at most. */
    private static final class Memory extends PositionOutputStream implements OutputFile {
        final ByteArrayOutputStream bytes = new ByteArrayOutputStream();

        @Override
        public long getPos() {
            return bytes.size();
        }

        @Override
        public void write(int one) {
            bytes.write(one);
            mark();
        }

        @Override
        public void write(byte[] some, int from, int count) {
            bytes.write(some, from, count);
            mark();
        }

        private void mark() {
            if (bytes.size() == MAGIC_BYTES) {
                bytes.writeBytes((SweepReport.NAME + "\n").getBytes(StandardCharsets.US_ASCII));
            }
        }

        @Override
        public PositionOutputStream create(long blockSizeHint) {
            return this;
        }

        @Override
        public PositionOutputStream createOrOverwrite(long blockSizeHint) {
            return this;
        }

        @Override
        public boolean supportsBlockSize() {
            return false;
        }

        @Override
        public long defaultBlockSize() {
            return 0;
        }
    }

    private static MessageType schema(Map<String, Object> fields) {
        Types.MessageTypeBuilder message = Types.buildMessage();
        fields.forEach((name, value) -> {
            switch (value) {
                case Long _ -> message.required(INT64).named(name);
                case Double _ -> message.required(DOUBLE).named(name);
                default ->
                        message.required(BINARY).as(LogicalTypeAnnotation.stringType()).named(name);
            }
        });
        return message.named("figures");
    }

    private static void add(Group group, String name, Object value) {
        switch (value) {
            case Long number -> group.add(name, (long) number);
            case Double number -> group.add(name, (double) number);
            default -> group.add(name, value.toString());
        }
    }
}
