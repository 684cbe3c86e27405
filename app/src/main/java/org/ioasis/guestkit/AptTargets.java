// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guestkit;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.regex.Pattern;

/**
 * Reads from {@code apt-get indextargets} (apt-get(8)) which mirror of Debian this machine uses.
 * Any thread.
 */
final class AptTargets {
    /**
     * A mirror that can be written into a source list. Other methods of apt (cdrom, tor, mirror
     * lists) depend on settings that we do not carry over.
     */
    private static final Pattern MIRROR =
            Pattern.compile("(?:https?://[^\\s\\[\\]\"]+|file:/[^\\s\\[\\]\"]+)");

    private AptTargets() {}

    static boolean isMirror(String uri) {
        return MIRROR.matcher(uri).matches();
    }

    /**
     * The first mirror of Debian's main archive among paragraphs of {@code Key: value} lines.
     * Origin and label are known once the host has read its lists; before, a path that ends in
     * "debian", where every mirror keeps the archive, must do.
     */
    static Optional<String> debianMirror(List<String> lines) {
        Optional<String> byPath = Optional.empty();
        Map<String, String> target = new LinkedHashMap<>();
        for (int i = 0; i <= lines.size(); i++) {
            String line = i < lines.size() ? lines.get(i) : "";
            int colon = line.indexOf(": ");
            if (colon > 0) {
                target.putIfAbsent(line.substring(0, colon), line.substring(colon + 2).strip());
            } else if (line.isBlank()) {
                String uri = target.getOrDefault("Repo-URI", "");
                String origin = target.getOrDefault("Origin", "");
                boolean isMain = "main".equals(target.get("Component")) && isMirror(uri);
                if (isMain && origin.equals("Debian") && "Debian".equals(target.get("Label"))) {
                    return Optional.of(uri);
                }
                boolean looksRight = isMain && origin.isEmpty() && uri.matches(".*/debian/?");
                if (looksRight && byPath.isEmpty()) {
                    byPath = Optional.of(uri);
                }
                target.clear();
            }
        }
        return byPath;
    }
}
