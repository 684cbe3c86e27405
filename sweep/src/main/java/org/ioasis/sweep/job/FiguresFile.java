// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sweep.job;

import static org.apache.parquet.schema.PrimitiveType.PrimitiveTypeName.BINARY;
import static org.apache.parquet.schema.PrimitiveType.PrimitiveTypeName.DOUBLE;
import static org.apache.parquet.schema.PrimitiveType.PrimitiveTypeName.INT64;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.apache.parquet.conf.PlainParquetConfiguration;
import org.apache.parquet.example.data.Group;
import org.apache.parquet.example.data.simple.SimpleGroupFactory;
import org.apache.parquet.hadoop.ParquetFileWriter;
import org.apache.parquet.hadoop.ParquetWriter;
import org.apache.parquet.hadoop.example.ExampleParquetWriter;
import org.apache.parquet.hadoop.metadata.CompressionCodecName;
import org.apache.parquet.io.LocalOutputFile;
import org.apache.parquet.schema.LogicalTypeAnnotation;
import org.apache.parquet.schema.MessageType;
import org.apache.parquet.schema.Types;
import org.ioasis.sweep.Answer;

/** The figures as Parquet: a row for each trace with each design. One thread. */
final class FiguresFile {
    private FiguresFile() {}

    static void write(Path file, List<Answer> answers) throws IOException {
        MessageType schema = schema(answers.getFirst().fields());
        SimpleGroupFactory groups = new SimpleGroupFactory(schema);
        try (ParquetWriter<Group> writer =
                ExampleParquetWriter.builder(new LocalOutputFile(file))
                        .withConf(new PlainParquetConfiguration())
                        .withType(schema)
                        .withWriteMode(ParquetFileWriter.Mode.OVERWRITE)
                        .withCompressionCodec(CompressionCodecName.GZIP)
                        .build()) {
            for (Answer answer : answers) {
                Group group = groups.newGroup();
                answer.fields().forEach((name, value) -> add(group, name, value));
                writer.write(group);
            }
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
