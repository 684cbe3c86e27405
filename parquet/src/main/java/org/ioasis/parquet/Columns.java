// SPDX-License-Identifier: Apache-2.0
package org.ioasis.parquet;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import org.apache.parquet.format.ConvertedType;
import org.apache.parquet.format.FieldRepetitionType;
import org.apache.parquet.format.IntType;
import org.apache.parquet.format.LogicalType;
import org.apache.parquet.format.SchemaElement;
import org.apache.parquet.format.StringType;
import org.apache.parquet.format.Type;
import org.apache.parquet.schema.MessageType;
import org.apache.parquet.schema.MessageTypeParser;
import org.jspecify.annotations.Nullable;

/**
 * The columns of a recording, in the two ways in which the library says them: for its encoders, and
 * for the end of a file. Any thread; no state.
 */
enum Columns {
    SEQUENCE(Kind.LONG, true),
    TIME(Kind.LONG, true),
    EVENT(Kind.STRING, true),
    IOMMU(Kind.STRING, true),
    ENDPOINT(Kind.UNSIGNED_INT, false),
    PASID(Kind.UNSIGNED_INT, false),
    DOMAIN(Kind.UNSIGNED_INT, false),
    FIRST(Kind.UNSIGNED_LONG, false),
    LAST(Kind.UNSIGNED_LONG, false),
    OUTPUT(Kind.UNSIGNED_LONG, false),
    FLAGS(Kind.INT, false),
    STATUS(Kind.STRING, false),
    REFUSAL(Kind.STRING, false),
    LOST(Kind.LONG, false);

    private static final String ROOT = "recording";

    /** What a column holds. */
    enum Kind {
        INT("int32", "", Type.INT32),
        UNSIGNED_INT("int32", "(INTEGER(32,false))", Type.INT32),
        LONG("int64", "", Type.INT64),
        UNSIGNED_LONG("int64", "(INTEGER(64,false))", Type.INT64),
        STRING("binary", "(STRING)", Type.BYTE_ARRAY);

        private final String word;
        private final String annotation;
        private final Type type;

        Kind(String word, String annotation, Type type) {
            this.word = word;
            this.annotation = annotation;
            this.type = type;
        }

        private void annotate(SchemaElement element) {
            switch (this) {
                case INT, LONG -> {
                    // As it is.
                }
                case UNSIGNED_INT -> {
                    element.setConverted_type(ConvertedType.UINT_32);
                    element.setLogicalType(
                            LogicalType.INTEGER(new IntType((byte) Integer.SIZE, false)));
                }
                case UNSIGNED_LONG -> {
                    element.setConverted_type(ConvertedType.UINT_64);
                    element.setLogicalType(
                            LogicalType.INTEGER(new IntType((byte) Long.SIZE, false)));
                }
                case STRING -> {
                    element.setConverted_type(ConvertedType.UTF8);
                    element.setLogicalType(LogicalType.STRING(new StringType()));
                }
            }
        }
    }

    private final Kind kind;
    private final boolean isRequired;

    Columns(Kind kind, boolean isRequired) {
        this.kind = kind;
        this.isRequired = isRequired;
    }

    /** Its name in the file. */
    String column() {
        return name().toLowerCase(Locale.ROOT);
    }

    /** The one of that name. */
    static Columns named(String column) {
        return valueOf(column.toUpperCase(Locale.ROOT));
    }

    Type type() {
        return kind.type;
    }

    boolean isRequired() {
        return isRequired;
    }

    /** Highest level of definition: a value that may be missing has two. */
    int definition() {
        return isRequired ? 0 : 1;
    }

    /** For the library's encoders. */
    static MessageType schema() {
        StringBuilder text = new StringBuilder("message ").append(ROOT).append(" {");
        for (Columns one : values()) {
            text.append(one.isRequired ? " required " : " optional ")
                    .append(one.kind.word)
                    .append(' ')
                    .append(one.column())
                    .append(' ')
                    .append(one.kind.annotation)
                    .append(';');
        }
        return MessageTypeParser.parseMessageType(text.append(" }").toString());
    }

    /** For the end of a file. */
    static List<SchemaElement> elements() {
        List<SchemaElement> elements = new ArrayList<>();
        SchemaElement root = new SchemaElement(ROOT);
        root.setNum_children(values().length);
        elements.add(root);
        for (Columns one : values()) {
            SchemaElement element = new SchemaElement(one.column());
            element.setType(one.kind.type);
            element.setRepetition_type(
                    one.isRequired ? FieldRepetitionType.REQUIRED : FieldRepetitionType.OPTIONAL);
            one.kind.annotate(element);
            elements.add(element);
        }
        return elements;
    }

    /** Why a file has other columns than a recording, or null. */
    static @Nullable String difference(@Nullable List<SchemaElement> found) {
        List<SchemaElement> ours = elements();
        if (found == null || found.size() != ours.size()) {
            return "it has other columns";
        }
        for (int i = 1; i < ours.size(); i++) {
            SchemaElement one = found.get(i);
            SchemaElement other = ours.get(i);
            if (!values()[i - 1].column().equals(one.getName())
                    || other.getType() != one.getType()
                    || other.getRepetition_type() != one.getRepetition_type()
                    || one.getNum_children() != 0) {
                return "it has another column in the place of " + values()[i - 1].column();
            }
        }
        return null;
    }
}
