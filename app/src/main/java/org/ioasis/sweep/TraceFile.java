// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sweep;

import java.io.IOException;
import java.nio.file.Path;
import org.ioasis.record.Row;
import org.ioasis.record.RowFiles;

/** A recording as a trace. Any thread. */
public final class TraceFile {
    private TraceFile() {}

    /**
     * Looks whether it can be one, without its rows.
     *
     * @throws TraceException with the file
     */
    public static void check(Path file) throws TraceException {
        try (RowFiles.Reader _ = RowFiles.found().open(file)) {
            // That it opens is all.
        } catch (IOException e) {
            throw new TraceException(message(e));
        }
    }

    /**
     * Reads all of it.
     *
     * @throws TraceException with the file, and the row where there is one
     */
    public static Trace read(Path file) throws TraceException {
        try (RowFiles.Reader reader = RowFiles.found().open(file)) {
            TraceBuilder builder = new TraceBuilder();
            Row row = new Row();
            while (reader.next(row)) {
                builder.add(row);
            }
            return builder.build();
        } catch (TraceException e) {
            throw new TraceException("%s: %s".formatted(file, e.getMessage()));
        } catch (IOException e) {
            throw new TraceException(message(e));
        }
    }

    private static String message(IOException e) {
        return e.getMessage() == null ? e.toString() : e.getMessage();
    }
}
